-- fires: unknown-root
-- with: its root b3:cc is none of the 2 that are known of it
create or replace view manifests as select 'release' as release, 'b3:cc' as root, 'manifest.yaml' as source;
