-- title: A manifest cannot be true as it stands
-- severity: error
-- needs: graph
-- means: One step's weights under another's name, a gap in a series, a file that no artifact provides or no step made, steps that need each other.
-- do: See the rule: `retrace manifest check` says the same of one manifest.

-- Needs a table: graph(release, rule, path, finding, source), the findings of the manifest crate's check_graph for each manifest at hand.
select release, path as subject, finding, source || ' ' || path as evidence,
    case when rule in ('same-weights-at-two-steps', 'unprovided-file', 'cycle') then 'certain: it follows from the manifest alone'
        when rule = 'missing-checkpoint' then 'likely: the series is regular around the gap'
        else 'likely: others of its kind were made by a step' end as sure
from graph
