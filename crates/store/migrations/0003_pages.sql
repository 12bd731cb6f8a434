-- What lists and deploys ask for stays as quick with ten thousand apps as with ten.

-- Finds a page of the apps that an administrator sees without reading the rows before it.
CREATE INDEX apps_listed ON apps (removing, id);
-- How many apps there are that nobody has wished away: kept, as counting takes the longer the more there are.
INSERT INTO meta (name, value) SELECT 'apps', CAST(COUNT(*) AS TEXT) FROM apps WHERE removing = 0;
-- Finds what a deploy has superseded.
CREATE INDEX deploys_of_successor ON deploys (successor);
