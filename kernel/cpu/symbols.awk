# SPDX-License-Identifier: Apache-2.0
# Reads `nm -n` of the first link; writes the assembly of the symbol table for the second one.
# Only functions count, and of several at one address the first.

BEGIN { count = 0; last = "" }

$2 ~ /^[tTwW]$/ && length($1) == 16 && $1 >= "ffffffff80000000" && $1 != last {
    last = $1
    address[count] = $1
    name[count] = $3
    count++
}

END {
    print "\t.section .symbols, \"a\""
    print "\t.balign 8"
    print "\t.globl symbols_count, symbols_addresses, symbols_names"
    print "symbols_count:\n\t.quad " count
    print "symbols_addresses:"
    for (i = 0; i < count; i++)
        print "\t.quad 0x" address[i]
    print "symbols_names:"
    for (i = 0; i < count; i++)
        print "\t.quad name_" i
    for (i = 0; i < count; i++)
        print "name_" i ":\t.asciz \"" name[i] "\""
    print "\t.section .note.GNU-stack, \"\", @progbits"
}
