CREATE TABLE IF NOT EXISTS aftermaths (
    id TEXT PRIMARY KEY,
    opened_us INTEGER NOT NULL,
    is_whole INTEGER NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS aftermaths_opened ON aftermaths (opened_us);
CREATE TABLE IF NOT EXISTS hours (
    hour_us INTEGER NOT NULL,
    what TEXT NOT NULL,
    name TEXT NOT NULL,
    amount REAL NOT NULL,
    PRIMARY KEY (hour_us, what, name)
) WITHOUT ROWID;
