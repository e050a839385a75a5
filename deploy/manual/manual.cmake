# SPDX-License-Identifier: Apache-2.0
#
# Manual pages (English, Chinese) and shell completion: what the program says of itself. Made with it, below
# build/PRESET/manual, so they cannot be older; not under a sanitizer, where nobody installs them. Components:
# manual, completion, and monitoring (dashboards and rules).
set(manual_dir ${CMAKE_BINARY_DIR}/manual)
set(manual_po ${CMAKE_SOURCE_DIR}/deploy/manual/zh_CN.po)
set(manual_files)

# manual_file(FILE ARGUMENTS...): what `tidegate ARGUMENTS` prints.
function(manual_file file)
    get_filename_component(folder ${manual_dir}/${file} DIRECTORY)
    add_custom_command(OUTPUT ${manual_dir}/${file}
        COMMAND ${CMAKE_COMMAND} -E make_directory ${folder}
        COMMAND tidegate ${ARGN} > ${manual_dir}/${file}.new
        COMMAND ${CMAKE_COMMAND} -E rename ${manual_dir}/${file}.new ${manual_dir}/${file}
        DEPENDS tidegate ${manual_po} VERBATIM)
    list(APPEND manual_files ${manual_dir}/${file})
    set(manual_files ${manual_files} PARENT_SCOPE)
endfunction()

if(NOT TIDEGATE_SANITIZE AND NOT TIDEGATE_FUZZ)
    manual_file(man1/tidegate.1 manual 1)
    manual_file(man5/tidegate.yaml.5 manual 5)
    manual_file(zh_CN/man1/tidegate.1 manual 1 --translation ${manual_po})
    manual_file(zh_CN/man5/tidegate.yaml.5 manual 5 --translation ${manual_po})
    manual_file(completion/tidegate completion bash)
    add_custom_target(manual ALL DEPENDS ${manual_files})

    install(DIRECTORY ${manual_dir}/man1 ${manual_dir}/man5 ${manual_dir}/zh_CN
        DESTINATION share/man COMPONENT manual)
    install(FILES ${manual_dir}/completion/tidegate
        DESTINATION share/bash-completion/completions COMPONENT completion)
    install(DIRECTORY deploy/grafana/dashboards DESTINATION share/tidegate/grafana COMPONENT monitoring)
    install(FILES deploy/prometheus/prometheus.yml deploy/prometheus/tidegate.rules.yaml
        DESTINATION share/tidegate/prometheus COMPONENT monitoring)
endif()
