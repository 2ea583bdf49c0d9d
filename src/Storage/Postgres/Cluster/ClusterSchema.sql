-- What the ADO.NET providers of Microsoft Orleans ask a database for: the table OrleansQuery, which holds the statements they run by key, and the tables of those statements.
-- The keys, the parameters (@Name) and the columns of the results are the providers' contract. Everything else is ours.
-- Run as a whole in one transaction; running it again changes nothing but the statements.

CREATE TABLE IF NOT EXISTS OrleansQuery (
    QueryKey  text NOT NULL PRIMARY KEY,
    QueryText text NOT NULL
);

-- One row per cluster: every change of its members moves the version on by one.
CREATE TABLE IF NOT EXISTS orleans_cluster (
    cluster_id text NOT NULL PRIMARY KEY,
    version    integer NOT NULL DEFAULT 0,
    changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS orleans_member (
    cluster_id    text NOT NULL,
    address       text NOT NULL,
    port          integer NOT NULL,
    generation    integer NOT NULL,
    silo_name     text NOT NULL,
    host_name     text NOT NULL,
    status        integer NOT NULL,
    proxy_port    integer NOT NULL,
    suspect_times text,
    started_at    timestamptz NOT NULL,
    alive_at      timestamptz NOT NULL,
    PRIMARY KEY (cluster_id, address, port, generation)
);

-- State of grains by their whole key: the hashes that the provider sends are not needed to find a row.
CREATE TABLE IF NOT EXISTS orleans_state (
    service_id text NOT NULL,
    grain_type text NOT NULL,
    key_high   bigint NOT NULL,
    key_low    bigint NOT NULL,
    key_text   text NOT NULL,
    version    integer NOT NULL,
    payload    bytea,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (service_id, grain_type, key_text, key_low, key_high)
);

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES
('InsertMembershipVersionKey', $q$
    WITH added AS (
        INSERT INTO orleans_cluster (cluster_id) VALUES (@DeploymentId) ON CONFLICT DO NOTHING RETURNING 1)
    SELECT EXISTS (SELECT FROM added)
$q$),
-- True where the version was still the one that the silo knew, and the member is new. A silo that waits for another's change finds the version moved on.
('InsertMembershipKey', $q$
    WITH next AS (
        UPDATE orleans_cluster SET version = version + 1, changed_at = now()
        WHERE cluster_id = @DeploymentId AND version = @Version AND NOT EXISTS (
            SELECT FROM orleans_member WHERE cluster_id = @DeploymentId AND address = @Address AND port = @Port AND generation = @Generation)
        RETURNING 1),
    added AS (
        INSERT INTO orleans_member (cluster_id, address, port, generation, silo_name, host_name, status, proxy_port, started_at, alive_at)
        SELECT @DeploymentId, @Address, @Port, @Generation, @SiloName, @HostName, @Status, @ProxyPort, @StartTime, @IAmAliveTime FROM next
        RETURNING 1)
    SELECT EXISTS (SELECT FROM added)
$q$),
('UpdateMembershipKey', $q$
    WITH next AS (
        UPDATE orleans_cluster SET version = version + 1, changed_at = now()
        WHERE cluster_id = @DeploymentId AND version = @Version AND EXISTS (
            SELECT FROM orleans_member WHERE cluster_id = @DeploymentId AND address = @Address AND port = @Port AND generation = @Generation)
        RETURNING 1),
    changed AS (
        UPDATE orleans_member SET status = @Status, suspect_times = CAST(@SuspectTimes AS text), alive_at = @IAmAliveTime
        FROM next
        WHERE cluster_id = @DeploymentId AND address = @Address AND port = @Port AND generation = @Generation
        RETURNING 1)
    SELECT EXISTS (SELECT FROM changed)
$q$),
('UpdateIAmAlivetimeKey', $q$
    UPDATE orleans_member SET alive_at = @IAmAliveTime
    WHERE cluster_id = @DeploymentId AND address = @Address AND port = @Port AND generation = @Generation
$q$),
-- A cluster without members is one row with its version and no start time.
('MembershipReadAllKey', $q$
    SELECT c.version AS Version, m.address AS Address, m.port AS Port, m.generation AS Generation, m.silo_name AS SiloName, m.host_name AS HostName,
        m.status AS Status, m.proxy_port AS ProxyPort, m.suspect_times AS SuspectTimes, m.started_at AS StartTime, m.alive_at AS IAmAliveTime
    FROM orleans_cluster c LEFT JOIN orleans_member m USING (cluster_id)
    WHERE c.cluster_id = @DeploymentId
$q$),
('MembershipReadRowKey', $q$
    SELECT c.version AS Version, m.address AS Address, m.port AS Port, m.generation AS Generation, m.silo_name AS SiloName, m.host_name AS HostName,
        m.status AS Status, m.proxy_port AS ProxyPort, m.suspect_times AS SuspectTimes, m.started_at AS StartTime, m.alive_at AS IAmAliveTime
    FROM orleans_cluster c LEFT JOIN orleans_member m ON m.cluster_id = c.cluster_id AND m.address = @Address AND m.port = @Port AND m.generation = @Generation
    WHERE c.cluster_id = @DeploymentId
$q$),
('GatewaysQueryKey', $q$
    SELECT address AS Address, proxy_port AS ProxyPort, generation AS Generation
    FROM orleans_member
    WHERE cluster_id = @DeploymentId AND status = @Status AND proxy_port > 0
$q$),
('DeleteMembershipTableEntriesKey', $q$
    WITH gone AS (DELETE FROM orleans_member WHERE cluster_id = @DeploymentId)
    DELETE FROM orleans_cluster WHERE cluster_id = @DeploymentId
$q$),
-- Status 3 is an active silo: it is never cleaned away, however old its sign of life.
('CleanupDefunctSiloEntriesKey', $q$
    DELETE FROM orleans_member WHERE cluster_id = @DeploymentId AND alive_at < @IAmAliveTime AND status <> 3
$q$),
('ReadFromStorageKey', $q$
    SELECT payload AS PayloadBinary, version AS Version
    FROM orleans_state
    WHERE service_id = @ServiceId AND grain_type = @GrainTypeString AND key_text = coalesce(CAST(@GrainIdExtensionString AS text), '')
        AND key_low = @GrainIdN0 AND key_high = @GrainIdN1
$q$),
-- The new version; null where another writer was first. Without a version the row must not exist.
('WriteToStorageKey', $q$
    WITH added AS (
        INSERT INTO orleans_state (service_id, grain_type, key_high, key_low, key_text, version, payload)
        SELECT @ServiceId, @GrainTypeString, @GrainIdN1, @GrainIdN0, coalesce(CAST(@GrainIdExtensionString AS text), ''), 1, CAST(@PayloadBinary AS bytea)
        WHERE CAST(@GrainStateVersion AS integer) IS NULL
        ON CONFLICT DO NOTHING
        RETURNING version),
    changed AS (
        UPDATE orleans_state SET version = version + 1, payload = CAST(@PayloadBinary AS bytea), changed_at = now()
        WHERE service_id = @ServiceId AND grain_type = @GrainTypeString AND key_text = coalesce(CAST(@GrainIdExtensionString AS text), '')
            AND key_low = @GrainIdN0 AND key_high = @GrainIdN1 AND version = CAST(@GrainStateVersion AS integer)
        RETURNING version)
    SELECT coalesce((SELECT version FROM added), (SELECT version FROM changed)) AS NewGrainStateVersion
$q$),
('ClearStorageKey', $q$
    WITH changed AS (
        UPDATE orleans_state SET version = version + 1, payload = NULL, changed_at = now()
        WHERE service_id = @ServiceId AND grain_type = @GrainTypeString AND key_text = coalesce(CAST(@GrainIdExtensionString AS text), '')
            AND key_low = @GrainIdN0 AND key_high = @GrainIdN1 AND version = CAST(@GrainStateVersion AS integer)
        RETURNING version)
    SELECT (SELECT version FROM changed) AS NewGrainStateVersion
$q$),
('DeleteStorageKey', $q$
    WITH gone AS (
        DELETE FROM orleans_state
        WHERE service_id = @ServiceId AND grain_type = @GrainTypeString AND key_text = coalesce(CAST(@GrainIdExtensionString AS text), '')
            AND key_low = @GrainIdN0 AND key_high = @GrainIdN1 AND version = CAST(@GrainStateVersion AS integer)
        RETURNING version)
    SELECT (SELECT version + 1 FROM gone) AS NewGrainStateVersion
$q$)
ON CONFLICT (QueryKey) DO UPDATE SET QueryText = excluded.QueryText WHERE OrleansQuery.QueryText <> excluded.QueryText;
