using KlineOrleans.Storage;
using KlineOrleans.Testing;

namespace KlineOrleans.Cluster.Tests;

/// <summary>The cluster's tables come into an empty database once, whoever starts first.</summary>
public sealed class ClusterSchemaTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Empty_database_gets_the_tables_and_a_second_start_changes_nothing()
    {
        Needs.Postgres();
        await using var database = await PostgresDatabase.Create();
        Assert.True(await ClusterSchema.Apply(database.ConnectionString, Cancellation));
        Assert.False(await ClusterSchema.Apply(database.ConnectionString, Cancellation));
        await ClusterSchema.Check(database.ConnectionString, Cancellation);
        Assert.Equal(["(13)"], await database.Rows("SELECT count(*) FROM OrleansQuery"));
    }

    [Fact]
    public async Task Processes_that_start_together_do_not_meet()
    {
        Needs.Postgres();
        await using var database = await PostgresDatabase.Create();
        var applied = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => ClusterSchema.Apply(database.ConnectionString, Cancellation)));
        Assert.Single(applied, a => a);
    }

    [Fact]
    public async Task Script_can_be_run_again_by_hand_and_keeps_what_is_there()
    {
        Needs.Postgres();
        await using var database = await PostgresDatabase.Create();
        await database.Execute(ClusterSchema.Script);
        await database.Execute("INSERT INTO orleans_cluster VALUES ('c', 7)");
        await database.Execute("SET client_min_messages = warning; " + ClusterSchema.Script);
        Assert.Equal(["(c,7)"], await database.Rows("SELECT cluster_id, version FROM orleans_cluster"));
    }

    [Fact]
    public async Task Database_without_the_tables_is_refused_where_they_may_not_be_made()
    {
        Needs.Postgres();
        await using var database = await PostgresDatabase.Create();
        var refused = await Assert.ThrowsAsync<StorageOpenException>(() => ClusterSchema.Check(database.ConnectionString, Cancellation));
        Assert.Contains("schema", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Database_of_a_newer_version_is_refused()
    {
        Needs.Postgres();
        await using var database = await PostgresDatabase.Create();
        await database.Execute("CREATE TABLE orleans_schema (version integer NOT NULL); INSERT INTO orleans_schema VALUES (1000)");
        var refused = await Assert.ThrowsAsync<StorageOpenException>(() => ClusterSchema.Apply(database.ConnectionString, Cancellation));
        Assert.Contains("newer version", refused.Message, StringComparison.Ordinal);
    }
}
