#pragma once

#include <string>
#include <vector>

namespace mlpc::codegen {

/// Links a model's objects into a shared library that needs nothing: no NEEDED entry, full RELRO, no
/// executable stack. The file is written at `path`; its soname is `soname`. Throws mlpc::Error with the
/// linker's words. lld runs in this process while it says that it can; after that, each link is a process of
/// its own.
void link_shared(const std::vector<std::string>& object_paths, const std::string& path,
                 const std::string& soname);

/// The bytes of an archive with one object.
std::string make_archive(const std::string& object, const std::string& member_name);

}  // namespace mlpc::codegen
