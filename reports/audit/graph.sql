-- title: A manifest cannot be true as it stands
-- severity: error
-- needs: graph
-- means: The same weights under the names of two steps, a gap in a series, an input that is not in the release, a file that no step made, or steps that depend on each other.
-- do: Run `retrace verify` on the manifest; it reports the same findings.

-- Needs a table: graph(release, rule, path, finding, source), the findings of the manifest crate's check_graph for each manifest at hand.
select release, path as subject, finding, source || ' ' || path as evidence,
    case when rule in ('same-weights-at-two-steps', 'unprovided-file', 'cycle') then 'certain: it follows from the manifest alone'
        when rule = 'missing-checkpoint' then 'likely: the series is regular around the gap'
        else 'likely: others of its kind were made by a step' end as sure
from graph
