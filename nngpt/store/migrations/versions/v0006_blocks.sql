CREATE TABLE nngpt_block_source (
    id INTEGER NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    licence TEXT NOT NULL,
    kind TEXT NOT NULL,
    place TEXT NOT NULL,
    "indexed" TEXT NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT uq_nngpt_block_source_name UNIQUE (name)
);

CREATE TABLE nngpt_block_file (
    id INTEGER NOT NULL,
    source_id INTEGER NOT NULL,
    module TEXT NOT NULL,
    path TEXT NOT NULL,
    package BOOLEAN NOT NULL,
    sha256 TEXT NOT NULL,
    content BLOB NOT NULL,
    broken TEXT,
    PRIMARY KEY (id),
    FOREIGN KEY(source_id) REFERENCES nngpt_block_source (id),
    CONSTRAINT uq_nngpt_block_file_source_id_module UNIQUE (source_id, module)
);

CREATE TABLE nngpt_block_class (
    id INTEGER NOT NULL,
    file_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    line INTEGER NOT NULL,
    bases TEXT NOT NULL,
    doc TEXT NOT NULL,
    words TEXT NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(file_id) REFERENCES nngpt_block_file (id),
    CONSTRAINT uq_nngpt_block_class_file_id_name UNIQUE (file_id, name)
);
