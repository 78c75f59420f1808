variable "name" {
  description = "The name of the role, the instance profile and the instance. Each instance of the module needs a name of its own."
  type        = string
}

variable "ami" {
  description = "An image that has the package ip-lockdown; packaging/packer builds one."
  type        = string
}

variable "instance_type" {
  type    = string
  default = "t3.micro"
}

variable "subnet_id" {
  type = string
}

variable "security_group_ids" {
  description = "The security groups of the instance; the VPC's default group if null."
  type        = list(string)
  default     = null
}

variable "users" {
  description = "Who may reach the metadata service: names, uids and uid ranges. They must exist when the instance boots."
  type        = list(string)
  default     = ["root"]
}

variable "lock_with_user_data" {
  description = "Lock with user-data at the first boot. Set it to false if the image was built with `ip-lockdown enable`."
  type        = bool
  default     = true
}

variable "policy_arns" {
  description = "Policies to attach to the role."
  type        = set(string)
  default     = []
}

variable "tags" {
  type    = map(string)
  default = {}
}
