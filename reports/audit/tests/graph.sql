-- fires: graph
-- with: each of these steps
create or replace view graph as select 'release' as release, 'cycle' as rule, 'one' as path, 'each of these steps needs what another of them makes: one, two' as finding, 'manifest.json' as source;
