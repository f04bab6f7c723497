# The examples for Windows, run by the same scripts through an emulator, on a system that has a shell and a compiler of its own
# for the client.
find_program(LOOP_HOST_CC NAMES cc gcc clang NO_CMAKE_FIND_ROOT_PATH)
if(NOT LOOP_BUILD_EXAMPLES OR NOT CMAKE_CROSSCOMPILING_EMULATOR OR NOT CMAKE_HOST_UNIX OR NOT LOOP_HOST_CC)
    return()
endif()

set(client "${CMAKE_CURRENT_BINARY_DIR}/client")
add_custom_command(OUTPUT "${client}"
    COMMAND "${LOOP_HOST_CC}" -O1 -o "${client}" "${CMAKE_CURRENT_SOURCE_DIR}/client.c"
    DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/client.c"
    VERBATIM)
add_custom_target(test_client ALL DEPENDS "${client}")

# The scripts want one word for the program; and exec, so that what they signal is the program.
string(REPLACE ";" "' '" emulator "'${CMAKE_CROSSCOMPILING_EMULATOR}'")
set(names timer operations echo_server http windows_threadpool)
if(CMAKE_USE_PTHREADS_INIT)
    list(APPEND names acceptor coroutines from_libuv guide_runtimes)
endif()
foreach(name IN LISTS names)
    set(launcher "${CMAKE_CURRENT_BINARY_DIR}/${name}")
    file(WRITE "${launcher}" "#!/bin/sh\nexec ${emulator} '${PROJECT_BINARY_DIR}/examples/${name}.exe' \"$@\"\n")
    file(CHMOD "${launcher}" PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
    add_test(NAME programs.${name} COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/${name}.sh" "${launcher}" "${client}")
    set_tests_properties(programs.${name} PROPERTIES LABELS programs TIMEOUT 120 ENVIRONMENT LOOP_STOP_SIGNAL=INT)
endforeach()
