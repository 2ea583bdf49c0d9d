namespace KlineOrleans.Cli;

/// <summary>What the command's exit code says. Scripts depend on the numbers.</summary>
internal static class ExitCodes
{
    public const int Ok = 0;

    /// <summary>It was done, and the answer is no: klines differ.</summary>
    public const int Differs = 1;

    /// <summary>It could not be done: a wrong argument, no server, an unreadable file.</summary>
    public const int Failed = 2;
}
