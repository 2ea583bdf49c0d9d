namespace KlineOrleans.Web.Tests;

/// <summary>Compares the memory after a fifth of a run with that at its end: what grows with each session would show.</summary>
/// <param name="total">How many steps the run has.</param>
internal sealed class FlatMemory(int total)
{
    // Pools, the runtime's own tables and what was compiled meanwhile; a run too short to tell is not judged.
    private const long Noise = 16 << 20;
    private const int ShortestToJudge = 2_000;

    private long _early;
    private long _last;

    public void Look(int done)
    {
        _last = GC.GetTotalMemory(forceFullCollection: true);
        if (_early == 0 && done >= total / 5)
        {
            _early = _last;
        }
    }

    public void Check(string what)
    {
        TestContext.Current.TestOutputHelper?.WriteLine($"{total:N0} sessions, {what}; memory {_early:N0} bytes after a fifth, {_last:N0} at the end");
        if (total >= ShortestToJudge)
        {
            Assert.InRange(_last - _early, long.MinValue, Noise);
        }
    }
}
