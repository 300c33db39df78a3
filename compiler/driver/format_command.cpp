#include "compiler/driver/format_command.h"

#include <fmt/format.h>

#include "runtime/files.h"

namespace mlpc::driver {
namespace {

bool format_file(const FormatOptions& options, const std::string& path) {
  const Source source = read_source(path);
  const std::string text = formatted(source);
  const bool is_same = text == source.text;
  if (options.only_checks) {
    if (!is_same) fmt::print("{}\n", source.name);
    return is_same;
  }
  if (options.prints || path == "-")
    fmt::print("{}", text);
  else if (!is_same)
    runtime::write_file(path, runtime::bytes_of(text));
  return true;
}

}  // namespace

bool format_files(const FormatOptions& options, const NetOptions& net) {
  bool is_good = true;
  for (const std::string& path : options.paths) {
    try {
      is_good = format_file(options, path) && is_good;
    } catch (const std::exception& e) {
      print_errors(net, &e);
      is_good = false;
    }
  }
  return is_good;
}

}  // namespace mlpc::driver
