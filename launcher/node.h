/* SPDX-License-Identifier: Apache-2.0
 *
 * Facts about one machine: its cores, memory, disk and devices. "No GPU" is a normal answer: then
 * the node's CPU is its one device, of model `cpu`.
 */
#ifndef LAUNCHER_NODE_H
#define LAUNCHER_NODE_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    char *id;             /* GPU UUID as NVML gives it, or "cpu" */
    char *model;          /* spelled as in job files: "RTX4090", "H100", "cpu" */
    int64_t memory_bytes; /* of the GPU; of the machine for `cpu` */
    int index;            /* what CUDA_VISIBLE_DEVICES counts; -1 for `cpu` */
} Device;

typedef struct {
    char *name;           /* host name */
    char *address;        /* numeric; "127.0.0.1" for this machine */
    GArray *cpus;         /* int: the cores this process may use (affinity, cgroup), ascending */
    int64_t memory_bytes; /* usable: the smaller of RAM and cgroup limit */
    int64_t disk_bytes;   /* free where `probe_dir` is */
    GPtrArray *devices;   /* Device *, never empty */
    char *note;           /* why no GPU was found, in words; NULL where there is one */
} Node;

/* `probe_dir` is the folder whose file system disk_bytes is about. Virtual GPUs (vGPU, MIG of a
 * virtual host) are left out, with the note saying so. */
Node *node_probe(const char *probe_dir, GError **error);
json_t *node_to_json(const Node *node);
void node_free(Node *node);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Node, node_free)

#endif
