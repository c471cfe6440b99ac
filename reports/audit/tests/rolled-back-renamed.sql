-- fires: rolled-back
-- with: that are known of release;
create or replace view manifests as select 'another' as release, 'b3:aa' as root, 'manifest.yaml' as source;
