-- Steps of deploys, those of the last attempt.
CREATE TABLE deploy_steps (
    deploy BIGINT NOT NULL REFERENCES deploys (id) ON DELETE CASCADE,
    position BIGINT NOT NULL,
    kind TEXT COLLATE "BINARY" NOT NULL,
    began TEXT COLLATE "BINARY" NOT NULL,
    -- NULL: under way, or interrupted by the end of the controller.
    ended TEXT COLLATE "BINARY",
    outcome TEXT COLLATE "BINARY",
    PRIMARY KEY (deploy, position)
);
