# The journal's record of a write to a file does not say how long the file is afterwards.
# file: storage/lfsx/file/file.c
# run: --mode random --seeds 1-40
s/record.size = le64_make(r->file->size);/(void)0;/
