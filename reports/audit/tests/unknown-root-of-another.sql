-- fires: unknown-root
-- with: its root b3:cc is not known, nor any of a release of this name
create or replace view manifests as select 'another' as release, 'b3:cc' as root, 'manifest.yaml' as source;
