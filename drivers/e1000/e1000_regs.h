/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers and descriptors of Intel's 8254x and 82574 controllers.
 *
 * "SDM" is Intel's "PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual"
 * (317453), "82574" the "82574 GbE Controller Family Datasheet". Registers are 32 bits wide
 * (SDM 13.4, 13.5, 13.7; 82574 10.2).
 */
#ifndef DRIVERS_E1000_E1000_REGS_H
#define DRIVERS_E1000_E1000_REGS_H

#include <stddef.h>
#include <stdint.h>

/* A register of a function that is no longer on the bus reads as this. */
#define E1000_ALL_ONES 0xffffffffu

/* ---- general ---- */

#define E1000_CTRL 0x0000u                  /* SDM 13.4.1 */
#define E1000_CTRL_MASTER_DISABLE (1u << 2) /* 82574 only: no new bus requests */
#define E1000_CTRL_LRST (1u << 3)
#define E1000_CTRL_SLU (1u << 6) /* set link up: let the MAC follow the PHY */
#define E1000_CTRL_ILOS (1u << 7)
#define E1000_CTRL_FRCSPD (1u << 11)
#define E1000_CTRL_FRCDPX (1u << 12)
#define E1000_CTRL_RST (1u << 26) /* clears itself */
#define E1000_CTRL_RFCE (1u << 27)
#define E1000_CTRL_TFCE (1u << 28)
#define E1000_CTRL_VME (1u << 30)
#define E1000_CTRL_PHY_RST (1u << 31)

#define E1000_STATUS 0x0008u /* SDM 13.4.2 */
#define E1000_STATUS_LU (1u << 1)
#define E1000_STATUS_SPEED_SHIFT 6u           /* 2 bits: 10, 100, 1000, 1000 Mbit/s */
#define E1000_STATUS_MASTER_ENABLE (1u << 19) /* 82574 only: bus requests are still possible */

#define E1000_EECD 0x0010u                  /* SDM 13.4.3 */
#define E1000_EECD_AUTO_READ_DONE (1u << 9) /* 82574: NVM words are in their registers */

#define E1000_CTRL_EXT 0x0018u                  /* SDM 13.4.6 */
#define E1000_CTRL_EXT_DRIVER_LOADED (1u << 28) /* 82574: tells the management firmware */

/* Flow control; all zero: none (SDM 13.4.9 on). */
#define E1000_FCAL 0x0028u
#define E1000_FCAH 0x002cu
#define E1000_FCT 0x0030u
#define E1000_FCTTV 0x0170u

/* ---- interrupts (SDM 13.4.17 to 13.4.21) ---- */

#define E1000_ICR 0x00c0u /* causes; reading clears them */
#define E1000_ITR 0x00c4u /* least time between two interrupts, in units of 256 ns */
#define E1000_IMS 0x00d0u /* mask: a written 1 lets the cause interrupt */
#define E1000_IMC 0x00d8u /* mask: a written 1 holds it back */

#define E1000_INTERRUPT_TXDW (1u << 0)   /* a transmit descriptor was written back */
#define E1000_INTERRUPT_LSC (1u << 2)    /* link status change */
#define E1000_INTERRUPT_RXDMT0 (1u << 4) /* few receive descriptors are left */
#define E1000_INTERRUPT_RXO (1u << 6)    /* receive overrun */
#define E1000_INTERRUPT_RXT0 (1u << 7)   /* a frame was received */

/* ---- receive (SDM 13.4.22 to 13.4.32, 14.4) ---- */

#define E1000_RCTL 0x0100u
#define E1000_RCTL_EN (1u << 1)
#define E1000_RCTL_BAM (1u << 15)   /* accept broadcast */
#define E1000_RCTL_SECRC (1u << 26) /* strip the frame check sequence */
/* BSIZE and BSEX zero: buffers of 2,048 bytes. LPE zero: nothing above 1,522 bytes. SBP zero: no
 * frame with a bad check sequence. */
#define E1000_RX_BUFFER_SIZE 2048u

#define E1000_RDBAL 0x2800u /* multiple of 16 */
#define E1000_RDBAH 0x2804u
#define E1000_RDLEN 0x2808u /* bytes, multiple of 128 */
#define E1000_RDH 0x2810u
#define E1000_RDT 0x2818u
#define E1000_RDTR 0x2820u
#define E1000_RADV 0x282cu
#define E1000_RXCSUM 0x5000u
#define E1000_RXCSUM_IPOFL (1u << 8)
#define E1000_RXCSUM_TUOFL (1u << 9)

#define E1000_RFCTL 0x5008u /* 82574 only; zero: legacy receive descriptors */
#define E1000_MRQC 0x5818u  /* 82574 only; zero: one receive queue */

/* Filters (SDM 13.5). RAL and RAH entry 0 are loaded from the EEPROM by a reset. */
#define E1000_MTA 0x5200u
#define E1000_MTA_ENTRIES 128u
#define E1000_RAL0 0x5400u
#define E1000_RAH0 0x5404u
#define E1000_RAH_VALID (1u << 31)

/* ---- transmit (SDM 13.4.33 to 13.4.44, 14.5) ---- */

#define E1000_TCTL 0x0400u
#define E1000_TCTL_EN (1u << 1)
#define E1000_TCTL_PSP (1u << 3)           /* pad short frames */
#define E1000_TCTL_CT (0x0fu << 4)         /* collision threshold that SDM 14.5 gives */
#define E1000_TCTL_COLD_FULL (0x40u << 12) /* collision distance for full duplex */
#define E1000_TCTL_RTLC (1u << 24)

#define E1000_TIPG 0x0410u
#define E1000_TIPG_COPPER (8u | 8u << 10 | 6u << 20)

#define E1000_TDBAL 0x3800u
#define E1000_TDBAH 0x3804u
#define E1000_TDLEN 0x3808u
#define E1000_TDH 0x3810u
#define E1000_TDT 0x3818u
#define E1000_TXDCTL 0x3828u
#define E1000_TXDCTL_GRAN (1u << 24)          /* thresholds count descriptors */
#define E1000_TXDCTL_COUNT_PENDING (1u << 22) /* 82574: must be one */

/* ---- statistics: cleared by reading (SDM 13.7) ---- */

#define E1000_CRCERRS 0x4000u
#define E1000_ALGNERRC 0x4004u
#define E1000_RXERRC 0x400cu
#define E1000_MPC 0x4010u /* frames lost because no buffer was free */
#define E1000_ECOL 0x4018u
#define E1000_LATECOL 0x401cu
#define E1000_RLEC 0x4040u
#define E1000_RUC 0x40a4u
#define E1000_RFC 0x40a8u
#define E1000_ROC 0x40acu
#define E1000_RJC 0x40b0u

/* ---- descriptors ---- */

/* Both ring lengths in bytes are multiples of this (SDM 13.4.27, 13.4.38). */
#define E1000_RING_UNIT 128u

/* Legacy receive descriptor (SDM 3.2.3; 82574 7.1.4). Hardware writes all but the address. */
struct e1000_rx_descriptor {
    uint64_t address;
    uint16_t length;
    uint16_t checksum;
    uint8_t status;
    uint8_t errors;
    uint16_t special;
};
_Static_assert(sizeof(struct e1000_rx_descriptor) == 16, "SDM 3.2.3");
_Static_assert(offsetof(struct e1000_rx_descriptor, status) == 12, "SDM 3.2.3");

#define E1000_RX_STATUS_DD (1u << 0)
#define E1000_RX_STATUS_EOP (1u << 1)
#define E1000_RX_STATUS_IXSM (1u << 2)  /* the checksum bits say nothing */
#define E1000_RX_STATUS_TCPCS (1u << 5) /* TCP or UDP checksum was looked at */
#define E1000_RX_STATUS_IPCS (1u << 6)  /* IPv4 header checksum was looked at */

/* SDM 3.2.3.2: CE, SE, SEQ, CXE (carrier extension) and RXE condemn the frame. */
#define E1000_RX_ERROR_FRAME (1u << 0 | 1u << 1 | 1u << 2 | 1u << 4 | 1u << 7)
#define E1000_RX_ERROR_TCPE (1u << 5)
#define E1000_RX_ERROR_IPE (1u << 6)

/*
 * Transmit descriptor, in three formats of one shape: legacy (SDM 3.3.3), TCP/IP data (3.3.7) and,
 * with other fields, TCP/IP context (3.3.6).
 */
struct e1000_tx_descriptor {
    uint64_t address;
    uint32_t command; /* length, type and command bits */
    uint32_t status;  /* written by hardware where RS was set; options in the data format */
};
_Static_assert(sizeof(struct e1000_tx_descriptor) == 16, "SDM 3.3.3");
_Static_assert(offsetof(struct e1000_tx_descriptor, status) == 12, "SDM 3.3.3");

#define E1000_TX_COMMAND_TYPE_CONTEXT (0u << 20)
#define E1000_TX_COMMAND_TYPE_DATA (1u << 20)
#define E1000_TX_COMMAND_EOP (1u << 24)
#define E1000_TX_COMMAND_IFCS (1u << 25) /* append the frame check sequence */
#define E1000_TX_COMMAND_RS (1u << 27)   /* report status: sets DD */
#define E1000_TX_COMMAND_DEXT (1u << 29) /* context or data format, not legacy */
#define E1000_TX_STATUS_DD (1u << 0)
#define E1000_TX_OPTION_TXSM (2u << 8) /* insert the TCP or UDP checksum */

struct e1000_tx_context {
    uint8_t ip_start;  /* IPCSS */
    uint8_t ip_offset; /* IPCSO */
    uint16_t ip_end;   /* IPCSE, inclusive */
    uint8_t l4_start;  /* TUCSS */
    uint8_t l4_offset; /* TUCSO, from the start of the frame */
    uint16_t l4_end;   /* TUCSE; 0: the end of the frame */
    uint32_t command;  /* PAYLEN, type, TUCMD */
    uint8_t status;    /* STA */
    uint8_t header_length;
    uint16_t segment_size;
};
_Static_assert(sizeof(struct e1000_tx_context) == sizeof(struct e1000_tx_descriptor), "SDM 3.3.6");
_Static_assert(offsetof(struct e1000_tx_context, command) == 8, "SDM 3.3.6");

#define E1000_TX_CONTEXT_TCP (1u << 24)  /* TUCMD: TCP rather than UDP */
#define E1000_TX_CONTEXT_IPV4 (1u << 25) /* TUCMD */

#endif
