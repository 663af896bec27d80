# SPDX-License-Identifier: Apache-2.0

# ---- cli ----
drover_unit_test(runner cli_args runner_cli)
drover_unit_test(runner cli_course runner_cli)
drover_unit_test(runner cli_follow runner_cli)
drover_unit_test(runner cli_format runner_cli)
drover_unit_test(runner cli_jobs runner_cli)
drover_unit_test(runner cli_table runner_cli)
drover_unit_test(runner cli_text runner_cli)
drover_unit_test(runner cli_view runner_cli)

# ---- queue ----
add_library(test_runner_fixture OBJECT EXCLUDE_FROM_ALL unit/runner/fixture.c unit/runner/watch.c)
target_link_libraries(test_runner_fixture PRIVATE drover_flags PUBLIC runner_queue)
target_compile_definitions(test_runner_fixture PRIVATE TEST_BUILD_DIR="${PROJECT_BINARY_DIR}")
add_executable(fake_launch unit/runner/fake_launch.c)
target_link_libraries(fake_launch PRIVATE drover_flags PkgConfig::GLIB PkgConfig::JANSSON)
set_target_properties(fake_launch PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
foreach(file bill db group job match run state store store_recover)
  drover_unit_test(runner ${file} test_runner_fixture runner_queue)
endforeach()
add_dependencies(test_runner_group fake_launch)
add_dependencies(test_runner_run fake_launch)
