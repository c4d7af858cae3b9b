# Runs of executables from other build folders (tests/run.sh makes them), so that one ctest tells of everything.
set(SEGUE_ASAN_BUILD "" CACHE PATH "Build folder with AddressSanitizer and the fuzz targets, or empty")
set(SEGUE_ASAN_FOLDERS "protocol;router;backfill;proxy;model" CACHE STRING "Whose unit tests that folder has")
set(SEGUE_TSAN_BUILD "" CACHE PATH "Build folder with ThreadSanitizer, or empty")
set(SEGUE_FUZZ_SECONDS 5 CACHE STRING "Seconds for each fuzz target")

# A suppression-free run of a folder's unit tests; slower, so it may take longer.
function(segue_run_elsewhere kind build folder)
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.cpp)
  if(sources)
    add_test(NAME ${kind}_${folder} COMMAND ${build}/tests/${folder}_tests)
    set_tests_properties(${kind}_${folder} PROPERTIES TIMEOUT 900)
  endif()
endfunction()

if(SEGUE_ASAN_BUILD)
  foreach(folder ${SEGUE_ASAN_FOLDERS})
    segue_run_elsewhere(asan ${SEGUE_ASAN_BUILD} ${folder})
  endforeach()
  file(GLOB targets CONFIGURE_DEPENDS fuzz/*_fuzz.cpp)
  foreach(target ${targets})
    get_filename_component(name ${target} NAME_WE)
    add_test(NAME ${name} COMMAND ${SEGUE_ASAN_BUILD}/tests/fuzz/${name}
      -max_total_time=${SEGUE_FUZZ_SECONDS} -timeout=10 -rss_limit_mb=2048 -print_final_stats=1)
    set_tests_properties(${name} PROPERTIES TIMEOUT 3600)
  endforeach()
  if(TARGET integration_life AND "proxy" IN_LIST SEGUE_ASAN_FOLDERS)
    add_test(NAME asan_life COMMAND integration_life)
    set_tests_properties(asan_life PROPERTIES TIMEOUT 900 PROCESSORS 2
      ENVIRONMENT SEGUE_BINARY=${SEGUE_ASAN_BUILD}/segue)
  endif()
endif()

if(SEGUE_TSAN_BUILD)
  foreach(folder backfill proxy)
    segue_run_elsewhere(tsan ${SEGUE_TSAN_BUILD} ${folder})
  endforeach()
endif()
