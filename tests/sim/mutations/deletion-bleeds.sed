# A deleted snapshot takes with it what older ones hold, too.
# file: storage/lfsx/pool/dead.c
# run: --mode random --seeds 1-30
s/birth >= box->first_birth \&\& birth <= box->last_birth/birth <= box->last_birth/
s/box->first_birth;$/0;/
