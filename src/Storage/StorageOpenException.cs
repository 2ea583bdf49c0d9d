namespace KlineOrleans.Storage;

/// <summary>The store cannot be opened at start: in use, of a newer version, foreign, damaged or not accessible. The message names the path and what to do.</summary>
public sealed class StorageOpenException : Exception
{
    public StorageOpenException(string message)
        : base(message)
    {
    }

    public StorageOpenException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
