-- Counts of process types outlive pushes whose builds lack the types.

-- What users chose to run, types included that the build lacks; NULL: written before they were kept, the structure.
ALTER TABLE deploys ADD COLUMN chosen TEXT;
