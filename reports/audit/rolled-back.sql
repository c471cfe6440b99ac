-- title: A manifest is an old one of its release
-- severity: error
-- needs: known-roots
-- means: A later root of this release is known: whoever gave you this manifest does not know that, or withholds it.
-- do: Ask for the latest manifest, and see with `retrace diff` what changed.

-- Needs two tables: manifests(release, root, source), the manifests at hand, and "known-roots"(release, place, root, seen, source), the
-- document that is given with --known-roots, in which a release's roots are counted from 1 in the order in which they were published. No
-- file of a release can make a table of that name: a release does not say which of its manifests is the latest.
with
latest as (select release, max(place) as place from "known-roots" group by release),
-- Under whatever name: a release that was renamed is as old.
known as (
    select m.release, m.source as manifest, k.release as known_as, k.place, l.place as last, k.root, k.seen, k.source
    from manifests m join "known-roots" k on k.root = m.root join latest l on l.release = k.release
)
select k.release, k.manifest as subject,
    'its root is number ' || cast(k.place as varchar) || ' of the ' || cast(k.last as varchar) || ' that are known of ' || k.known_as
        || '; the latest is ' || n.root || coalesce(' (' || n.seen || ')', '') as finding,
    k.source || ' ' || k.root || coalesce(' (' || k.seen || ')', '') as evidence,
    'certain, if that list is in the order in which they were published' as sure
from known k join "known-roots" n on n.release = k.known_as and n.place = k.last
where k.place < k.last and k.manifest not in (select manifest from known where place = last)
