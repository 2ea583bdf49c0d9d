namespace KlineOrleans.Cli;

/// <summary>What went wrong in a way that whoever typed the command can act on. Printed as one sentence.</summary>
internal sealed class Failure(string message, Exception? inner = null) : Exception(message, inner);
