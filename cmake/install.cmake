# Header, libraries, pkg-config file and CMake package.

include(CMakePackageConfigHelpers)

install(FILES "${PROJECT_SOURCE_DIR}/include/loop.h" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")

set(loop_install_targets loop_static)
if(LOOP_SHARED)
    list(APPEND loop_install_targets loop_shared)
endif()
install(TARGETS ${loop_install_targets}
    EXPORT loopTargets
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
    LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
    RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")

# pkg-config: paths relative to the file itself, so that the installed tree can be moved.
set(loop_pkgconfig_dir "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
    set(loop_pc_prefix "${CMAKE_INSTALL_PREFIX}")
    set(loop_pc_libdir "${CMAKE_INSTALL_LIBDIR}")
else()
    file(RELATIVE_PATH loop_pc_up "/prefix/${loop_pkgconfig_dir}" "/prefix")
    string(REGEX REPLACE "/$" "" loop_pc_up "${loop_pc_up}")
    set(loop_pc_prefix "\${pcfiledir}/${loop_pc_up}")
    set(loop_pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
endif()
if(IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
    set(loop_pc_includedir "${CMAKE_INSTALL_INCLUDEDIR}")
else()
    set(loop_pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
set(loop_pc_library loop)
set(loop_pc_private -pthread)
if(WIN32)
    list(TRANSFORM loop_system_libraries PREPEND -l OUTPUT_VARIABLE loop_pc_private)
    list(JOIN loop_pc_private " " loop_pc_private)
    if(NOT LOOP_SHARED)
        set(loop_pc_library loop_static)
    endif()
endif()
configure_file(cmake/loop.pc.in loop.pc @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/loop.pc" DESTINATION "${loop_pkgconfig_dir}")

# find_package(loop)
set(loop_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/loop")
install(EXPORT loopTargets NAMESPACE loop:: DESTINATION "${loop_package_dir}")
configure_package_config_file(cmake/loopConfig.cmake.in loopConfig.cmake
    INSTALL_DESTINATION "${loop_package_dir}"
    NO_SET_AND_CHECK_MACRO)
if(PROJECT_VERSION_MAJOR EQUAL 0)
    set(loop_compatibility SameMinorVersion)
else()
    set(loop_compatibility SameMajorVersion)
endif()
write_basic_package_version_file(loopConfigVersion.cmake COMPATIBILITY ${loop_compatibility})
install(FILES
    "${PROJECT_BINARY_DIR}/loopConfig.cmake"
    "${PROJECT_BINARY_DIR}/loopConfigVersion.cmake"
    DESTINATION "${loop_package_dir}")
