# Toolchain file: builds for Windows with the GCC of mingw-w64. Programs run through Wine, if there is one.
#
#     cmake -S . -B build/windows -G Ninja -DCMAKE_TOOLCHAIN_FILE=cmake/mingw.cmake
#
# MINGW_PROCESSOR is x86_64 unless told. MINGW_SYSROOT is where other libraries for Windows are looked for.

set(MINGW_PROCESSOR x86_64 CACHE STRING "Processor to compile for: the part of the compiler's name before -w64-mingw32-gcc")
set(MINGW_SYSROOT "${CMAKE_BINARY_DIR}/sysroot" CACHE PATH "Libraries for the target")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES MINGW_PROCESSOR MINGW_SYSROOT)

set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR ${MINGW_PROCESSOR})
set(CMAKE_C_COMPILER ${MINGW_PROCESSOR}-w64-mingw32-gcc)
set(CMAKE_RC_COMPILER ${MINGW_PROCESSOR}-w64-mingw32-windres)
# Programs need no DLL of the compiler beside them.
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)
set(CMAKE_SHARED_LINKER_FLAGS_INIT -static-libgcc)

if(NOT DEFINED CMAKE_CROSSCOMPILING_EMULATOR)
    find_program(MINGW_EMULATOR wine NO_CMAKE_FIND_ROOT_PATH)
    if(MINGW_EMULATOR)
        set(CMAKE_CROSSCOMPILING_EMULATOR "${MINGW_EMULATOR}")
    endif()
endif()

set(CMAKE_FIND_ROOT_PATH "${MINGW_SYSROOT}" /usr/${MINGW_PROCESSOR}-w64-mingw32)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
