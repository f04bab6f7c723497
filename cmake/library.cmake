# The static and the shared library, compiled from the same sources.

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

set(loop_platform_sources ${loop_posix_sources} ${loop_${loop_backend}_sources})
set(loop_system_sources ${loop_platform_sources})
set(loop_private_includes
    "${PROJECT_SOURCE_DIR}/src"
    "${PROJECT_SOURCE_DIR}/src/posix"
    "${PROJECT_SOURCE_DIR}/src/${loop_backend}")

# accept4, pipe2, epoll_pwait2 and their like; the core stays within C11.
if(CMAKE_SYSTEM_NAME MATCHES "^(Linux|Android)$")
    set_source_files_properties(${loop_system_sources} PROPERTIES COMPILE_DEFINITIONS _GNU_SOURCE)
endif()

# Before 1.0 every minor version may change the ABI, and the SONAME says so.
if(PROJECT_VERSION_MAJOR EQUAL 0)
    set(loop_soversion ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
else()
    set(loop_soversion ${PROJECT_VERSION_MAJOR})
endif()

function(loop_add_library target type)
    add_library(${target} ${type} ${loop_core_sources} ${loop_platform_sources})
    loop_target_flags(${target})
    # Two pointers are stored faster by themselves than as a vector that is put together first.
    if(LOOP_HAS_NO_SLP)
        target_compile_options(${target} PRIVATE -fno-tree-slp-vectorize)
    endif()
    if(LOOP_HAS_NO_STRICT_ALIASING)
        target_compile_options(${target} PRIVATE -fno-strict-aliasing)
    endif()
    if(loop_probes)
        target_compile_definitions(${target} PRIVATE LOOP_WITH_PROBES)
    endif()
    set_target_properties(${target} PROPERTIES
        OUTPUT_NAME loop
        C_VISIBILITY_PRESET hidden)
    target_include_directories(${target}
        PUBLIC
            "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>"
            "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>"
        PRIVATE ${loop_private_includes})
    target_link_libraries(${target} PRIVATE Threads::Threads)
    if(LOOP_KQSHIM)
        target_link_libraries(${target} PUBLIC kqshim)
    endif()
endfunction()

loop_add_library(loop_static STATIC)
set_target_properties(loop_static PROPERTIES EXPORT_NAME static)
add_library(loop::static ALIAS loop_static)
if(WIN32)
    # loop.lib is the import library of loop.dll.
    set_target_properties(loop_static PROPERTIES OUTPUT_NAME loop_static)
endif()

if(LOOP_SHARED)
    loop_add_library(loop_shared SHARED)
    target_compile_definitions(loop_shared PRIVATE LOOP_BUILD_SHARED INTERFACE LOOP_USE_SHARED)
    set_target_properties(loop_shared PROPERTIES
        EXPORT_NAME shared
        VERSION ${PROJECT_VERSION}
        SOVERSION ${loop_soversion})
    add_library(loop::shared ALIAS loop_shared)

    # The export list, where the linker takes one; elsewhere hidden visibility does the work.
    set(loop_map "${PROJECT_SOURCE_DIR}/cmake/loop.map")
    set(CMAKE_REQUIRED_LINK_OPTIONS "-Wl,--version-script=${loop_map}")
    check_c_source_compiles("int main(void) { return 0; }" LOOP_HAS_VERSION_SCRIPT)
    unset(CMAKE_REQUIRED_LINK_OPTIONS)
    if(LOOP_HAS_VERSION_SCRIPT)
        target_link_options(loop_shared PRIVATE "-Wl,--version-script=${loop_map}")
        set_target_properties(loop_shared PROPERTIES LINK_DEPENDS "${loop_map}")
    endif()
endif()

if(BUILD_SHARED_LIBS)
    if(NOT LOOP_SHARED)
        message(FATAL_ERROR "loop: BUILD_SHARED_LIBS needs LOOP_SHARED.")
    endif()
    add_library(loop::loop ALIAS loop_shared)
else()
    add_library(loop::loop ALIAS loop_static)
endif()
