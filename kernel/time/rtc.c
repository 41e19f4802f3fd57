/* SPDX-License-Identifier: Apache-2.0 */
/* The CMOS clock, read once at boot. No state but the clock's own. */
#include "base/log.h"
#include "base/mem.h"
#include "kernel/acpi/acpi.h"
#include "kernel/cpu/cpu.h"
#include "kernel/time/time_internal.h"
#include "kernel/time/time_regs.h"

#include <stdbool.h>

/* An update takes 2 ms at most; a port access about 1 us. */
#define UPDATE_POLLS 100000u
#define READ_ATTEMPTS 8u

struct date {
    unsigned second, minute, hour, day, month, year, century;
};

static uint8_t cmos_read(uint8_t index) {
    cpu_out8(CMOS_INDEX, index);
    return cpu_in8(CMOS_DATA);
}

static void wait_for_update(void) {
    for (unsigned i = 0; i < UPDATE_POLLS; i++)
        if ((cmos_read(CMOS_STATUS_A) & CMOS_STATUS_A_UPDATING) == 0)
            return;
}

static struct date read_raw(uint8_t century_register) {
    wait_for_update();
    return (struct date){.second = cmos_read(CMOS_SECOND),
                         .minute = cmos_read(CMOS_MINUTE),
                         .hour = cmos_read(CMOS_HOUR),
                         .day = cmos_read(CMOS_DAY),
                         .month = cmos_read(CMOS_MONTH),
                         .year = cmos_read(CMOS_YEAR),
                         .century = century_register != 0 ? cmos_read(century_register) : 0};
}

static unsigned from_bcd(unsigned value) {
    return (value >> 4) * 10 + (value & 15);
}

static void decode(struct date *date, uint8_t status_b) {
    bool afternoon = (date->hour & CMOS_HOUR_AFTERNOON) != 0;
    date->hour &= ~CMOS_HOUR_AFTERNOON;
    if ((status_b & CMOS_STATUS_B_BINARY) == 0) {
        unsigned *fields[] = {&date->second, &date->minute, &date->hour,   &date->day,
                              &date->month,  &date->year,   &date->century};
        for (unsigned i = 0; i < sizeof fields / sizeof fields[0]; i++)
            *fields[i] = from_bcd(*fields[i]);
    }
    if ((status_b & CMOS_STATUS_B_24_HOURS) == 0)
        date->hour = date->hour % 12 + (afternoon ? 12 : 0);
    /* Firmware without a century byte is younger than 1999. */
    date->year += date->century >= 19 && date->century <= 99 ? date->century * 100 : 2000;
}

/* Days from 1970-01-01 in the Gregorian calendar; years are counted from March, so that the leap
 * day is the last of its year. */
static uint64_t days_since_1970(const struct date *date) {
    uint64_t year = date->year - (date->month <= 2);
    uint64_t month = (date->month + 9) % 12;
    uint64_t days = year * 365 + year / 4 - year / 100 + year / 400;
    return days + (month * 153 + 2) / 5 + date->day - 1 - 719468;
}

static bool plausible(const struct date *date) {
    return date->year >= 1970 && date->month >= 1 && date->month <= 12 && date->day >= 1 &&
           date->day <= 31 && date->hour < 24 && date->minute < 60 && date->second < 61;
}

uint64_t rtc_read_seconds(void) {
    uint8_t century = acpi_cmos_century();
    struct date date = read_raw(century);
    for (unsigned i = 0; i < READ_ATTEMPTS; i++) {
        struct date again = read_raw(century);
        bool same = memcmp(&date, &again, sizeof date) == 0;
        date = again;
        if (same)
            break;
    }
    decode(&date, cmos_read(CMOS_STATUS_B));
    if (!plausible(&date)) {
        log_warning("time", "the CMOS clock says %u-%u-%u: set the date", date.year, date.month,
                    date.day);
        return 0;
    }
    return ((days_since_1970(&date) * 24 + date.hour) * 60 + date.minute) * 60 + date.second;
}
