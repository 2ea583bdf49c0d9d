namespace KlineOrleans.InProcess.Tests;

/// <summary>The suite on Microsoft Orleans.</summary>
public sealed class OrleansEngineTests : GrainEngineTests
{
    // Orleans takes grain timers and collection from the registered clock, but its response timeouts run by the machine's.
    protected override bool FollowsClock => false;
}
