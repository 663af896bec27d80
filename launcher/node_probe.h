/* SPDX-License-Identifier: Apache-2.0
 *
 * Where node_probe() looks, as a value, so that a test can show it another machine.
 */
#ifndef LAUNCHER_NODE_PROBE_H
#define LAUNCHER_NODE_PROBE_H

#include "launcher/node.h"

typedef struct {
    const char *root;         /* put before /proc and /sys; "" for this machine */
    const char *nvml_library; /* for dlopen */
    const char *probe_dir;
} NodeSources;

Node *node_probe_from(const NodeSources *sources, GError **error);

#endif
