-- title: A file could not be read, or not wholly
-- severity: error
-- means: A file of the release does not parse, contradicts its own form, or gave no rows.
-- do: Look at the place, and publish the file anew.

select release, source as subject, problem as finding, source as evidence, 'certain: it was read by this build' as sure
from sources where problem is not null
union all
select release, source, 'it gave no rows', source || ': ' || cast(size as varchar) || ' bytes read as ' || kind,
    'certain that none were found; it may hold nothing of the kind'
from sources where rows = 0 and problem is null and kind in ('csv', 'lm-eval', 'pythia-evals', 'checkpoint-list', 'wandb', 'tensorboard', 'trainer-state', 'text-log')
