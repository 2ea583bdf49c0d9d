namespace KlineOrleans.InProcess.Tests;

/// <summary>The suite on Microsoft Orleans.</summary>
public sealed class OrleansEngineTests : GrainEngineTests
{
    // Grain timers and the age of grains follow the registered clock here too; Orleans' response timeouts and the moments of its collection run by the machine's.
    protected override bool FollowsClock => false;

    protected override bool MayRefuse => true;

    protected override bool KillIsSudden => false;
}
