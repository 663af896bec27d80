/* SPDX-License-Identifier: Apache-2.0
 *
 * Events out: JSON lines on a descriptor, without ever waiting for who reads them.
 */
#ifndef LAUNCHER_EVENT_OUT_H
#define LAUNCHER_EVENT_OUT_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct EventOut EventOut;

/* `fd` is borrowed and made non-blocking; written from the default GMainContext. */
EventOut *event_out_new(int fd);
/* Stamps "at_ms" and "mono_ms", takes `event` over and queues it. An event that only reports
 * (progress, note) is dropped while too much is queued. */
void event_out_send(EventOut *out, json_t *event);
/* Waits until all is written or the reader is gone. */
void event_out_drain(EventOut *out);
void event_out_free(EventOut *out);

/* `text`, any bytes, as at most `size_max` bytes of UTF-8 that no terminal obeys: control
 * characters are spaces. */
char *event_clean_text(const char *text, size_t size_max);

#endif
