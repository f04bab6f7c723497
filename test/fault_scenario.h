/* Scenes for fault_scene.h that more than one program plays. */
#ifndef LOOP_TEST_FAULT_SCENARIO_H
#define LOOP_TEST_FAULT_SCENARIO_H

#include "fault_scene.h"

/* A TCP handle answers what another sends, with a full write queue; then both end. */
void scenario_tcp(void);

/* Operations of every kind on descriptors. */
void scenario_desc(void);

/* Signals, and descriptors that are polled. */
void scenario_watching(void);

#endif
