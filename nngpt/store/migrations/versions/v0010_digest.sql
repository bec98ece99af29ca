CREATE TABLE nngpt_digest (
    table_name TEXT NOT NULL,
    key TEXT NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (table_name, key)
) WITHOUT ROWID;
