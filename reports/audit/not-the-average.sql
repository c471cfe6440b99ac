-- title: A model is not the average it is said to be
-- severity: error
-- needs: averages
-- means: The release says that these weights are the average of others, but the difference is larger than the rounding to the stored type can explain.
-- do: Average the ingredients again, in the order and type of the release, and publish which ones were used.

-- Needs a table that `retrace average --table` makes: averages(release, subject, tensor, of, distance, norm, unit, source, place), one row a tensor.
-- of names the ingredients; distance is the norm of (the tensor - their mean, in double precision), or 0 if the tensor has exactly
-- the numbers of a mean that was computed in its own 16-bit type; norm is the tensor's;
-- unit is the greatest relative error of one rounding to the stored type: 2^-8 for bfloat16, 2^-24 for float32.
-- Twice the unit, as the mean itself may have been rounded once on the way.
select release, subject,
    cast(count(*) as varchar) || ' tensors are not the average of ' || min(of) || ', most ' || max(tensor) as finding,
    min(source) || ' ' || min(place) as evidence,
    'certain: they are off by up to ' || cast(max(distance / norm) as varchar) || ' of their norm, rounding gives up to '
        || cast(max(2 * unit) as varchar) as sure
from averages where norm > 0 and distance > 2 * unit * norm
group by release, subject
