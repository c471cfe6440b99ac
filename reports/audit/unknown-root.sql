-- title: A manifest is none of those that are known
-- severity: note
-- needs: known-roots
-- means: The root at hand is not in the list of known roots: it is newer than the list, or not the release's.
-- do: Compare it with the root that the release publishes, and note it in the list if it is that.

-- Needs two tables: manifests and "known-roots", as rolled-back does.
select m.release, m.source as subject,
    'its root ' || m.root || case when count(k.root) = 0 then ' is not known, nor any of a release of this name'
        else ' is none of the ' || cast(count(k.root) as varchar) || ' that are known of it' end as finding,
    m.source as evidence,
    'certain that the list does not have it' as sure
from manifests m left join "known-roots" k on k.release = m.release
where m.root not in (select root from "known-roots")
group by m.release, m.source, m.root
