"""The processes that decode and infer: started, heard, watched, followed by others when they die."""
