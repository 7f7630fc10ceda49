"""What one runs and need not read: data, figures, inference, analysis, workbook, commands."""
