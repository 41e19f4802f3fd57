# A commit waits for checkpoints only, not for the journal.
# file: storage/lfsx/pool/checkpoint.c
# run: --mode random --seeds 1-10
s/status = journal_commit(pool->journal, mark);/(void)mark;/
