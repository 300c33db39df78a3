#pragma once

#include <llvm/IR/IRBuilder.h>

#include <vector>

namespace mlpc::codegen {

/// Blocks of a matrix turned in registers; both extents are powers of two, and there are no more columns
/// than rows. `rows`: each of `columns` elements; the result: `columns` vectors, each of rows.size() lanes.
std::vector<llvm::Value*> columns_of_rows(llvm::IRBuilder<>& builder, std::vector<llvm::Value*> rows,
                                          int columns);

/// The inverse: from vectors of `row_count` lanes to `row_count` rows of columns.size() elements.
std::vector<llvm::Value*> rows_of_columns(llvm::IRBuilder<>& builder, std::vector<llvm::Value*> columns,
                                          int row_count);

}  // namespace mlpc::codegen
