# Script: writes OUTPUT, the ctest rows ROWS.* of the test program NAME, which is PROGRAM and which EMULATOR runs unless it is
# empty, labelled LABEL.

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
# What takes long begins first, lest it be the last.
function(add_row name arguments timeout)
    string(APPEND text "    add_test(${name} \${launcher} ${emulator}\"${PROGRAM}\"${arguments})\n"
        "    set_tests_properties(${name} PROPERTIES TIMEOUT ${timeout} COST \${timeout} LABELS ${LABEL})\n")
    set(text "${text}" PARENT_SCOPE)
endfunction()

list(LENGTH names count)
string(APPEND text "if(\"\$ENV{LOOP_TEST_WHOLE}\")\n    math(EXPR whole \"\${timeout} * ${count}\")\n")
add_row(${NAME}.all "" "\${whole}")
string(APPEND text "else()\n")
foreach(name IN LISTS names)
    add_row(${ROWS}.${name} " ${name}" "\${timeout}")
endforeach()
string(APPEND text "endif()\n")
file(WRITE "${OUTPUT}" "${text}")
