"""Recorded traffic judged again under a policy, by the functions that judge the live one."""
