namespace Orleans.Runtime;

/// <summary>Names a stream: a namespace and a key.</summary>
public readonly record struct StreamId
{
    private StreamId(string ns, string key) => (Namespace, Key) = (ns, key);

    public string Namespace { get; }

    public string Key { get; }

    public static StreamId Create(string ns, string key) => new(ns, key);
}
