# Turns LOOP_PROBES into loop_probes (ON or OFF), or stops with one sentence.

include(CheckCSourceCompiles)

set(loop_probes OFF)
string(TOLOWER "${LOOP_PROBES}" loop_probes_wanted)
if(NOT loop_probes_wanted MATCHES "^(auto|on|off)$")
    message(FATAL_ERROR "loop: LOOP_PROBES '${LOOP_PROBES}' is unknown; use auto, on or off.")
endif()
if(NOT loop_probes_wanted STREQUAL "off")
    # Other systems have a header of that name without these macros, or with ones that need a step of dtrace(1).
    check_c_source_compiles("#include <sys/sdt.h>
        int main(int argc, char **argv) { DTRACE_PROBE2(loop, test, argc, argv); return 0; }" LOOP_HAS_SDT)
    if(LOOP_HAS_SDT)
        set(loop_probes ON)
    elseif(loop_probes_wanted STREQUAL "on")
        message(FATAL_ERROR "loop: LOOP_PROBES needs <sys/sdt.h>, from systemtap-sdt-dev or its like.")
    endif()
endif()
