-- fires: rolled-back
-- with: its root is number 1 of the 2 that are known of release; the latest is b3:bb (today, https://example.org)
create or replace view manifests as select 'release' as release, 'b3:aa' as root, 'manifest.yaml' as source;
