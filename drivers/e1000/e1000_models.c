/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The controllers that this driver knows, with copper PHYs inside (the fibre and SerDes ones bring
 * up their link differently), and where they differ. To add one: a line here.
 */
#include "base/math.h"
#include "drivers/e1000/e1000_device.h"

#define VENDOR_INTEL 0x8086u

#define PCIE_82574 (E1000_QUIRK_PCIE | E1000_QUIRK_NO_ASPM)

static const struct e1000_model models[] = {
    {0x100e, 512, 0, "82540EM"},          {0x1015, 512, 0, "82540EM (LOM)"},
    {0x1016, 512, 0, "82540EP (LOM)"},    {0x1017, 512, 0, "82540EP"},
    {0x101e, 512, 0, "82540EP (LP)"},     {0x100f, 512, 0, "82545EM"},
    {0x1026, 512, 0, "82545GM"},          {0x1010, 512, 0, "82546EB"},
    {0x1079, 512, 0, "82546GB"},          {0x1013, 512, 0, "82541EI"},
    {0x1018, 512, 0, "82541EI (mobile)"}, {0x1076, 512, 0, "82541GI"},
    {0x1077, 512, 0, "82541GI (mobile)"}, {0x1078, 512, 0, "82541ER"},
    {0x107c, 512, 0, "82541PI"},          {0x10d3, 512, PCIE_82574, "82574L"},
    {0x10f6, 512, PCIE_82574, "82574LA"},
};

const struct e1000_model *e1000_model_find(const struct pci_device *pci) {
    if (pci->vendor != VENDOR_INTEL)
        return NULL;
    for (size_t i = 0; i < ARRAY_LENGTH(models); i++) {
        if (models[i].device == pci->device)
            return &models[i];
    }
    return NULL;
}
