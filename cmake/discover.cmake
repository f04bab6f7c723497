# Script: writes OUTPUT, the ctest rows of the test program PROGRAM, which EMULATOR runs unless it is empty, labelled LABEL.

file(REMOVE "${OUTPUT}")
execute_process(COMMAND ${EMULATOR} "${PROGRAM}" --list
    OUTPUT_VARIABLE names
    ERROR_VARIABLE errors
    RESULT_VARIABLE result
    TIMEOUT 30)
if(NOT result EQUAL 0)
    message(FATAL_ERROR "${PROGRAM} --list: ${result}\n${errors}")
endif()

string(STRIP "${names}" names)
string(REGEX REPLACE "\r?\n" ";" names "${names}")
foreach(name IN LISTS names)
    if(NOT name MATCHES "^[A-Za-z0-9_]+$")
        message(FATAL_ERROR "${PROGRAM} --list: '${name}' is not the name of a test")
    endif()
endforeach()
set(unique ${names})
list(REMOVE_DUPLICATES unique)
if(NOT names OR NOT unique STREQUAL names)
    message(FATAL_ERROR "${PROGRAM} --list: no tests, or one registered twice")
endif()

set(text "separate_arguments(launcher UNIX_COMMAND \"\$ENV{LOOP_TEST_LAUNCHER}\")
set(timeout ${TIMEOUT})
if(\"\$ENV{LOOP_TEST_TIMEOUT_FACTOR}\" MATCHES \"^[0-9]+\$\")
    math(EXPR timeout \"\${timeout} * \$ENV{LOOP_TEST_TIMEOUT_FACTOR}\")
endif()
")
set(emulator "")
foreach(word IN LISTS EMULATOR)
    string(APPEND emulator "\"${word}\" ")
endforeach()
foreach(name IN LISTS names)
    string(APPEND text "add_test(${NAME}.${name} \${launcher} ${emulator}\"${PROGRAM}\" ${name})\n"
        "set_tests_properties(${NAME}.${name} PROPERTIES TIMEOUT \${timeout} LABELS ${LABEL})\n")
endforeach()
file(WRITE "${OUTPUT}" "${text}")
