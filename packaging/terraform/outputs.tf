output "instance_id" {
  value = aws_instance.locked.id
}

output "private_ip" {
  value = aws_instance.locked.private_ip
}

output "role_name" {
  description = "The role of the instance, to attach more policies to."
  value       = aws_iam_role.locked.name
}

output "role_arn" {
  value = aws_iam_role.locked.arn
}

output "instance_profile_name" {
  value = aws_iam_instance_profile.locked.name
}

output "user_data" {
  description = "The cloud-config that locks, for a launch template of your own; null without lock_with_user_data."
  value       = local.user_data
}
